"""WHEN and in what ORDER the hops run. The only package that imports prefect."""
