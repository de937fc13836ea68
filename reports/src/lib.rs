//! Renderings of a journal for people and tools.
