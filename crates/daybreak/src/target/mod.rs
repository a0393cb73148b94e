//! Where the data go: definitions, rows, indexes, objects.
