;; Turns channel 4 (the spindle of examples/robots/arm.toml) at a constant velocity: up to 5 rad/s within two seconds of
;; simulation time, then steady. Stays within the channel's limits, whatever they are.
(module
  (import "command" "set" (func $set (param i32 f64) (result i32)))
  (import "command" "limit_max" (func $limit_max (param i32) (result f64)))
  (import "timing" "sim_time_ns" (func $sim_time_ns (result i64)))

  (global $spindle i32 (i32.const 4))
  (global $velocity_rad_s f64 (f64.const 5))
  (global $ramp_s f64 (f64.const 2))

  ;; When this controller began, so that a swap at any time starts the ramp from its beginning.
  (global $begin_ns (mut i64) (i64.const 0))

  (func $elapsed_s (result f64)
    (f64.mul (f64.const 1e-9)
      (f64.convert_i64_s (i64.sub (call $sim_time_ns) (global.get $begin_ns)))))

  (func $ramp (result f64)
    (f64.mul (global.get $velocity_rad_s)
      (f64.min (f64.const 1) (f64.div (call $elapsed_s) (global.get $ramp_s)))))

  (func (export "process") (param $tick i64)
    (if (i64.eqz (local.get $tick))
      (then (global.set $begin_ns (call $sim_time_ns))))
    (drop (call $set (global.get $spindle)
      (f64.min (call $ramp) (call $limit_max (global.get $spindle)))))))
