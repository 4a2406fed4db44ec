"""The types of columns that must mean the same on SQLite and on PostgreSQL."""

from sqlalchemy import JSON, BigInteger, Integer, Text
from sqlalchemy.dialects.postgresql import JSONB

# Byte order on both databases: a page's position must mean the same wherever it is read.
ORDERED = Text().with_variant(Text(collation="C"), "postgresql")
DOCUMENT = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
SERIAL = BigInteger().with_variant(Integer, "sqlite")
