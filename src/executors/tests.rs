//! Attempts against a real warden: this test program starts itself again in the role that `HTR_TEST_ROLE` names.

mod ends;
mod hostile;
mod setup;
mod throughput;
mod wardens;
