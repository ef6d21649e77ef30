-- Whether a dirty series is marked for its turn of the weekly comparison alone. What the store told of, and what a
-- retrieval found to differ, comes before these.
ALTER TABLE series ADD COLUMN dirty_by_turn boolean NOT NULL DEFAULT false;
CREATE INDEX series_dirty_first ON series (pk) WHERE dirty AND NOT dirty_by_turn;
