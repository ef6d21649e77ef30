-- Suspension and erasure of people, groups as album members, legal hold.
SELECT 1;
