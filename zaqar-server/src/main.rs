//! The `zaqar-server` program.

fn main() -> std::process::ExitCode {
    zaqar_server::cli::main()
}
