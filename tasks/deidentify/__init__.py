"""Surrogates in place of everything personal."""
