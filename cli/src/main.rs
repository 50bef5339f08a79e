//! The command `segvol`.
fn main() {}
