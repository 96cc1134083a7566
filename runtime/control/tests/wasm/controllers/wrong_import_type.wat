;; command.set takes an f64 and returns an i32.
(module
  (import "command" "set" (func (param i32 f32)))
  (func (export "process") (param $tick i64)))
