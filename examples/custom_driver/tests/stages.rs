//! The driver at earlier stages of the guide.

fn main() {}
