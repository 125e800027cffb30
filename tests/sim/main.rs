//! The simulator: whole ensembles in one thread, from one seed.

#![allow(dead_code)]

mod checkers;
mod history;
