//! The protocols, spoken to the real server over real sockets: what clients send, what
//! enemies send, and what each gets.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod access;
mod addresses;
mod admin;
mod admission;
mod bodies;
mod browsers;
mod commands;
mod compression;
mod configuration;
mod connections;
mod contract;
mod damaged;
mod datagrams;
mod death;
mod every_command;
mod expressions;
mod harness;
mod hdr;
mod health;
mod influx;
mod ladders;
mod lifecycle;
mod listeners;
mod matchers;
mod memory;
mod process;
mod prometheus;
mod questions;
mod remote;
mod remote_read;
mod running;
mod tenants;
mod tiers;
mod transport;
