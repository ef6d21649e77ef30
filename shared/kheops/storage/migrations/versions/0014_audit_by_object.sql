-- "Who saw this study", what was about an album, and rare kinds and outcomes (storage/audit_search.py).
CREATE INDEX audit_by_study ON audit USING gin (study_instance_uids);
CREATE INDEX audit_by_subject ON audit (subject COLLATE "C", at) WHERE subject IS NOT NULL;
CREATE INDEX audit_by_kind ON audit (kind, at);
CREATE INDEX audit_by_outcome ON audit (outcome, at) WHERE outcome <> 'granted';
