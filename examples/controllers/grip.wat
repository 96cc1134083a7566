;; Closes the jaws of examples/robots/gripper.toml by force until they meet something, holds it for a second with less
;; force, opens, rests, and begins again. The flange is not set: it holds. Without a fresh velocity the force is zero.
(module
  (import "command" "set" (func $set (param i32 f64) (result i32)))
  (import "state" "get" (func $state (param i32) (result f64)))
  (import "timing" "sim_time_ns" (func $sim_time_ns (result i64)))
  (import "telemetry" "emit_metric" (func $emit_metric (param f64)))

  (global $jaws i32 (i32.const 1))
  (global $jaws_velocity i32 (i32.const 3))
  (global $still_m_s f64 (f64.const 0.002))
  (global $least_s f64 (f64.const 0.5))  ;; before jaws that are to move can count as having met something

  ;; Phases: 0 close, 1 hold, 2 open, 3 rest.
  (global $phase (mut i32) (i32.const 0))
  (global $begin_ns (mut i64) (i64.const 0))

  (func $force_n (result f64)
    (if (i32.eq (global.get $phase) (i32.const 0)) (then (return (f64.const 30))))
    (if (i32.eq (global.get $phase) (i32.const 1)) (then (return (f64.const 15))))
    (if (i32.eq (global.get $phase) (i32.const 2)) (then (return (f64.const -20))))
    (f64.const 0))

  (func $in_phase_s (result f64)
    (f64.mul (f64.const 1e-9)
      (f64.convert_i64_s (i64.sub (call $sim_time_ns) (global.get $begin_ns)))))

  (func $is_over (param $velocity_m_s f64) (result i32)
    (if (i32.eqz (i32.and (global.get $phase) (i32.const 1)))
      (then (return (i32.and
        (f64.gt (call $in_phase_s) (global.get $least_s))
        (f64.lt (f64.abs (local.get $velocity_m_s)) (global.get $still_m_s))))))
    (f64.gt (call $in_phase_s) (f64.const 1)))

  (func $begin (param $phase i32)
    (global.set $phase (local.get $phase))
    (global.set $begin_ns (call $sim_time_ns))
    (call $emit_metric (f64.convert_i32_u (local.get $phase))))

  (func (export "process") (param $tick i64)
    (local $velocity_m_s f64)
    (if (i64.eqz (local.get $tick)) (then (call $begin (i32.const 0))))
    (local.set $velocity_m_s (call $state (global.get $jaws_velocity)))
    (if (f64.ne (local.get $velocity_m_s) (local.get $velocity_m_s))
      (then (drop (call $set (global.get $jaws) (f64.const 0))) (return)))
    (if (call $is_over (local.get $velocity_m_s))
      (then (call $begin (i32.and (i32.add (global.get $phase) (i32.const 1)) (i32.const 3)))))
    (drop (call $set (global.get $jaws) (call $force_n)))))
