//! The control plane: queues and topics, pools, flavors, the catalogue.

mod catalogue;
mod flavors;
mod pools;
mod queues;
