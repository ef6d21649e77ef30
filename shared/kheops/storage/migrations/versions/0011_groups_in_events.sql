-- The group that an event of an album's history is about, by its issuer and value.
ALTER TABLE events ADD COLUMN group_iss text COLLATE "C";
ALTER TABLE events ADD COLUMN group_value text;
