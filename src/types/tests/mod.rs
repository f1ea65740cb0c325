//! Tests of the typed layer.

mod shapes;
