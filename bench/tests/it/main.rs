//! The program `bench` as make and CI call it.

mod verdict;
