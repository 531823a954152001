"""Federation: tokens of foreign issuers, and what they come to here."""
