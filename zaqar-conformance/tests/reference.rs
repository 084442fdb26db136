//! The reference driver passes its own suite.

zaqar_conformance::main!(zaqar_conformance::reference::ReferenceHarness::new);
