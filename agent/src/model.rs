//! The vocabulary of the rooms.
