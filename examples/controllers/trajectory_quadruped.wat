;; Stands the quadruped of examples/robots/quadruped.toml up and lets it trot on the spot: diagonal legs lift and land in turn.
;; Between two poses every joint follows a minimum-jerk polynomial, 10 x^3 - 15 x^4 + 6 x^5 of the share x of the time: velocity
;; and acceleration are zero at each pose. The first move begins where the joints are measured; a joint that is not measured
;; keeps all of them where they are. After a pause (disarmed, stopped) it begins again from where the joints are then.
(module
  (import "command" "set" (func $set (param i32 f64) (result i32)))
  (import "command" "limit_min" (func $limit_min (param i32) (result f64)))
  (import "command" "limit_max" (func $limit_max (param i32) (result f64)))
  (import "state" "get" (func $state (param i32) (result f64)))
  (import "timing" "sim_time_ns" (func $sim_time_ns (result i64)))
  (import "telemetry" "emit_metric" (func $emit_metric (param f64)))

  (global $joints i32 (i32.const 12))
  (global $poses i32 (i32.const 5))
  (global $loop_from i32 (i32.const 1))  ;; after the last pose comes this one
  (global $pose_bytes i32 (i32.const 104))
  (global $from i32 (i32.const 4096))  ;; where the present move began
  (global $pause_ns i64 (i64.const 1500000000))

  (memory 1)
  ;; One line a pose: seconds to get there, then the joints in rad.
  (data (i32.const 0) (f64 2  ;; stand
       0  0.7 -1.4    0  0.7 -1.4
       0  0.7 -1.4    0  0.7 -1.4))
  (data (i32.const 104) (f64 0.3  ;; front left and rear right up
       0  0.5 -1.8    0  0.8 -1.4
       0  0.8 -1.4    0  0.5 -1.8))
  (data (i32.const 208) (f64 0.3  ;; and down
       0  0.6 -1.3    0  0.8 -1.4
       0  0.8 -1.4    0  0.6 -1.3))
  (data (i32.const 312) (f64 0.3  ;; front right and rear left up
       0  0.8 -1.4    0  0.5 -1.8
       0  0.5 -1.8    0  0.8 -1.4))
  (data (i32.const 416) (f64 0.3  ;; and down
       0  0.8 -1.4    0  0.6 -1.3
       0  0.6 -1.3    0  0.8 -1.4))

  (global $pose (mut i32) (i32.const 0))
  (global $begin_ns (mut i64) (i64.const 0))
  (global $last_ns (mut i64) (i64.const 0))
  (global $started (mut i32) (i32.const 0))

  (func $target (param $joint i32) (result f64)
    (f64.load offset=8 (i32.add
      (i32.mul (global.get $pose) (global.get $pose_bytes))
      (i32.mul (local.get $joint) (i32.const 8)))))

  (func $duration_s (result f64)
    (f64.load (i32.mul (global.get $pose) (global.get $pose_bytes))))

  (func $start (param $joint i32) (result f64)
    (f64.load (i32.add (global.get $from) (i32.mul (local.get $joint) (i32.const 8)))))

  (func $keep_start (param $joint i32) (param $position f64)
    (f64.store (i32.add (global.get $from) (i32.mul (local.get $joint) (i32.const 8)))
      (local.get $position)))

  (func $begin (param $pose i32) (param $at_ns i64)
    (global.set $pose (local.get $pose))
    (global.set $begin_ns (local.get $at_ns))
    (call $emit_metric (f64.convert_i32_u (local.get $pose))))

  ;; From the measured positions to the first pose. 0: a joint is not measured.
  (func $restart (result i32)
    (local $joint i32) (local $position f64)
    (loop $next
      (local.set $position (call $state (i32.mul (local.get $joint) (i32.const 2))))
      (if (f64.ne (local.get $position) (local.get $position)) (then (return (i32.const 0))))
      (call $keep_start (local.get $joint) (local.get $position))
      (br_if $next (i32.lt_u
        (local.tee $joint (i32.add (local.get $joint) (i32.const 1))) (global.get $joints))))
    (call $begin (i32.const 0) (call $sim_time_ns))
    (i32.const 1))

  (func $next_pose
    (local $joint i32) (local $at_ns i64) (local $next i32)
    (loop $each
      (call $keep_start (local.get $joint) (call $target (local.get $joint)))
      (br_if $each (i32.lt_u
        (local.tee $joint (i32.add (local.get $joint) (i32.const 1))) (global.get $joints))))
    (local.set $at_ns (i64.add (global.get $begin_ns)
      (i64.trunc_f64_s (f64.mul (f64.const 1e9) (call $duration_s)))))
    (local.set $next (i32.add (global.get $pose) (i32.const 1)))
    (call $begin
      (select (local.get $next) (global.get $loop_from)
        (i32.lt_u (local.get $next) (global.get $poses)))
      (local.get $at_ns)))

  (func $share_of_move (result f64)
    (f64.div
      (f64.mul (f64.const 1e-9)
        (f64.convert_i64_s (i64.sub (call $sim_time_ns) (global.get $begin_ns))))
      (call $duration_s)))

  (func $minimum_jerk (param $x f64) (result f64)
    (f64.mul
      (f64.mul (local.get $x) (f64.mul (local.get $x) (local.get $x)))
      (f64.add (f64.const 10) (f64.mul (local.get $x)
        (f64.sub (f64.mul (f64.const 6) (local.get $x)) (f64.const 15))))))

  ;; Where a joint was measured may lie a little outside what may be commanded.
  (func $command (param $joint i32) (param $position f64)
    (drop (call $set (local.get $joint)
      (f64.max (call $limit_min (local.get $joint))
        (f64.min (call $limit_max (local.get $joint)) (local.get $position))))))

  (func $move (param $way f64)
    (local $joint i32) (local $begun f64)
    (loop $next
      (local.set $begun (call $start (local.get $joint)))
      (call $command (local.get $joint)
        (f64.add (local.get $begun)
          (f64.mul (local.get $way) (f64.sub (call $target (local.get $joint)) (local.get $begun)))))
      (br_if $next (i32.lt_u
        (local.tee $joint (i32.add (local.get $joint) (i32.const 1))) (global.get $joints)))))

  (func (export "process") (param $tick i64)
    (local $x f64) (local $now_ns i64)
    (local.set $now_ns (call $sim_time_ns))
    (if (i64.gt_s (i64.sub (local.get $now_ns) (global.get $last_ns)) (global.get $pause_ns))
      (then (global.set $started (i32.const 0))))
    (global.set $last_ns (local.get $now_ns))
    (if (i32.eqz (global.get $started))
      (then
        (global.set $started (call $restart))
        (if (i32.eqz (global.get $started)) (then (return)))))
    (local.set $x (call $share_of_move))
    (if (f64.ge (local.get $x) (f64.const 1))
      (then
        (call $next_pose)
        (local.set $x (f64.min (f64.const 1) (call $share_of_move)))))
    (call $move (call $minimum_jerk (local.get $x)))))
