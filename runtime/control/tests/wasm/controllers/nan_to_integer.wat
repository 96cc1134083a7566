;; state.get of a channel that does not exist is NaN.
(module
  (import "state" "get" (func $get (param i32) (result f64)))
  (func (export "process") (param $tick i64)
    (drop (i32.trunc_f64_s (call $get (i32.const 999))))))
