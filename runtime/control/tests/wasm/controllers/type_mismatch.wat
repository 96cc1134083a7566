;; Adds an integer to a float, in the function $ramp.
(module
  (func $ramp (param $tick i64) (result f64)
    (f64.add (f64.const 1) (local.get $tick)))
  (func (export "process") (param $tick i64)
    (drop (call $ramp (local.get $tick)))))
