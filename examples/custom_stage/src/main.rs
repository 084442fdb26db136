//! `zaqar-server` with one stage more. Command line, configuration and everything else are the same.

fn main() -> std::process::ExitCode {
    zaqar_server::cli::main_with(&custom_stage::stages())
}
