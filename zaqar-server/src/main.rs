//! The `zaqar-server` program.

/// A request makes and drops a few dozen small things on whichever thread it runs; this allocator
/// does that at a fraction of the system's cost.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    zaqar_server::cli::main()
}
