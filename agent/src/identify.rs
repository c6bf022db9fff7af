//! Whose it is: from this node's own objects in the API server, never the cluster's.

pub mod cgroup;
pub mod cluster;
pub mod process;
