"""HTTP only: routes, authentication, errors to statuses, headers, pages."""
