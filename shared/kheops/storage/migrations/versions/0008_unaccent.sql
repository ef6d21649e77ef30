-- Matching of names without regard to accents. A trusted extension: the owner of a database may create it.
CREATE EXTENSION IF NOT EXISTS unaccent;
