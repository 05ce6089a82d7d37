//! hortator-simulations
