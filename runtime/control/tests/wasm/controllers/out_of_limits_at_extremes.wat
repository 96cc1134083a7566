;; Doubles what it measures: harmless near zero, outside the limits where the state is at its own.
(module
  (import "command" "set" (func $set (param i32 f64) (result i32)))
  (import "state" "get" (func $get (param i32) (result f64)))
  (func (export "process") (param $tick i64)
    (drop (call $set (i32.const 0) (f64.mul (f64.const 2) (call $get (i32.const 0)))))))
