"""The vocabulary that all hops share: records, params, contracts, templates."""
