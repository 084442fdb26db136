//! The workloads and the program against stubs in memory, honest and with planted faults.

#[cfg(test)]
mod fan_out;
#[cfg(test)]
mod program;
#[cfg(test)]
mod sockets;
mod stub;
#[cfg(test)]
mod support;
#[cfg(test)]
mod wait;
#[cfg(test)]
mod workloads;
