"""One short module a public data set: records to Samples."""
