"""Whatever a server answers, nothing but the library's own exceptions comes out, and never wrong bytes."""
