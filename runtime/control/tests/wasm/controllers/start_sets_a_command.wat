(module
  (import "command" "set" (func $set (param i32 f64) (result i32)))
  (func $move (drop (call $set (i32.const 0) (f64.const 1))))
  (start $move)
  (func (export "process") (param $tick i64)))
