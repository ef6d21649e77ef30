-- Links with passcodes, and invitations by e-mail address.
SELECT 1;
