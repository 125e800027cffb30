//! The simulator: whole ensembles in one thread, from one seed.

#![allow(dead_code)]

mod agenda;
mod checkers;
mod disk;
mod history;
mod network;
mod random;
mod trace;
