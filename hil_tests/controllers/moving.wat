;; Moves every kind of channel of examples/robots/arm.toml: shoulder_pan (position) swings, spindle (velocity) turns
;; at 10 rad/s, gripper (effort) closes with 1 N.
(module
  (import "command" "set" (func $set (param i32 f64) (result i32)))
  (import "math" "sin" (func $sin (param f64) (result f64)))
  (import "timing" "sim_time_ns" (func $sim_time_ns (result i64)))
  (func (export "process") (param $tick i64)
    (drop (call $set (i32.const 0)
      (f64.mul (f64.const 0.5)
        (call $sin (f64.mul (f64.const 1.5707963267948966e-9)
          (f64.convert_i64_s (call $sim_time_ns)))))))
    (drop (call $set (i32.const 4) (f64.const 10)))
    (drop (call $set (i32.const 5) (f64.const 1)))))
