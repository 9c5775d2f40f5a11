"""Files that are read and written as tables: CSV, Excel and Parquet, and their way in and out of the database."""
