//! Free space: which page numbers are free, which are retired and until when. Knows numbers only.
