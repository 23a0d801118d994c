"""What the report knows: runs collected, compared, and looked into."""
