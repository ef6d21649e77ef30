-- Report providers, authorization codes, and assertions used.
SELECT 1;
