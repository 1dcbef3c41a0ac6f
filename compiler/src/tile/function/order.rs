//! Ranks: the largest and smallest elements.
