//! Harness of the whole-process suites: a collector to receive, a client to send, an agent to run.
