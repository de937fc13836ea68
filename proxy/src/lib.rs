//! The live gateway: transparent interception, forged chains, tap, scheduling.
