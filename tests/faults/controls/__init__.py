"""Products that are broken on purpose, one guarantee at a time: modules that workers and bridges of a test import."""
