"""A management service that changes products in its database, and a page that shows how Redis follows."""
