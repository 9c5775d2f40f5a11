"""Imports and exports tables as CSV, Excel and Parquet files."""
