// Reading a URDF and following its joints. reference.py compares the numbers with another implementation.
#include "kinematics/forward.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <numbers>
#include <random>

#include "../temporary_directory.hpp"
#include "kinematics/urdf.hpp"

namespace holdfast::kinematics {
namespace {

const std::filesystem::path kThreeJoints = HOLDFAST_REPOSITORY "/runtime/tests/robot_toml/three_joints.urdf";

std::size_t link_named(const Model& model, std::string_view name) {
    for (std::size_t i = 0; i < model.links.size(); ++i) {
        if (model.links[i].name == name) return i;
    }
    ADD_FAILURE() << "no link " << name;
    return 0;
}

std::string joint(const std::string& type, const std::string& inside) {
    return R"(<robot name="r"><link name="base"/><link name="tip"/><joint name="j" type=")" + type +
           R"("><parent link="base"/><child link="tip"/>)" + inside + "</joint></robot>";
}

class Urdf : public testing::Test {
  protected:
    Expected<Model> read(const std::string& text) {
        const auto file = folder_.path() / "robot.urdf";
        std::ofstream(file) << text;
        return read_urdf(file);
    }
    TemporaryDirectory folder_;
};

TEST_F(Urdf, EachJointComesAfterItsParent) {
    const auto model = read_urdf(kThreeJoints);
    ASSERT_TRUE(model) << model.error().message;
    EXPECT_EQ(model->joints.size(), 5u);
    EXPECT_EQ(model->links.size(), 6u);
    for (std::size_t i = 0; i < model->joints.size(); ++i)
        EXPECT_LT(model->joints[i].parent.value_or(0), std::max<std::size_t>(i, 1));
}

TEST_F(Urdf, ReducedItKeepsOnlyWhatMovesTheLinks) {
    const auto model = read_urdf(kThreeJoints);
    const Model reduced = reduced_to(*model, {link_named(*model, "tip")});
    ASSERT_EQ(reduced.joints.size(), 4u);
    EXPECT_EQ(reduced.joints[2].name, "reach_slide");
    EXPECT_EQ(reduced.joints[3].parent, 2u);
    ASSERT_EQ(reduced.links.size(), 1u);
    EXPECT_EQ(reduced.links[0].joint, 3u);
}

TEST_F(Urdf, WhatIsNotOneIsRefusedWithAReason) {
    EXPECT_FALSE(read_urdf(folder_.path() / "none.urdf"));
    EXPECT_FALSE(read(""));
    EXPECT_FALSE(read("not xml"));
    EXPECT_FALSE(read("<robot/>"));
    const std::string limit = R"(<limit lower="0" upper="1" effort="1" velocity="1"/>)";
    EXPECT_TRUE(read(joint("revolute", limit)));
    const auto floating = read(joint("floating", ""));
    ASSERT_FALSE(floating);
    EXPECT_NE(floating.error().message.find("neither fixed"), std::string::npos);
    const auto no_axis = read(joint("revolute", limit + R"(<axis xyz="0 0 0"/>)"));
    ASSERT_FALSE(no_axis);
    EXPECT_NE(no_axis.error().message.find("axis"), std::string::npos);
}

TEST_F(Urdf, AQuarterTurnAndASlideAreWhereTheyShouldBe) {
    const auto model = read(
        R"(<robot name="r"><link name="base"/><link name="a"/><link name="b"/>
           <joint name="turn" type="continuous"><parent link="base"/><child link="a"/>
             <origin xyz="0 0 1"/><axis xyz="0 0 2"/></joint>
           <joint name="slide" type="prismatic"><parent link="a"/><child link="b"/>
             <origin xyz="1 0 0"/><axis xyz="0 1 0"/><limit lower="0" upper="1" effort="1" velocity="1"/></joint>
           </robot>)");
    ASSERT_TRUE(model) << model.error().message;
    Forward forward(*model, {link_named(*model, "b"), link_named(*model, "base")});
    std::array<Eigen::Vector3d, 2> places;
    forward.place(std::array{std::numbers::pi / 2.0, 0.5}, places);
    EXPECT_LT((places[0] - Eigen::Vector3d(-0.5, 1.0, 1.0)).norm(), 1e-12);
    EXPECT_EQ(places[1], Eigen::Vector3d::Zero());
}

// The bounds that the stopping path relies on: how far a joint can carry a tool.
TEST_F(Urdf, NoJointCarriesAToolFurtherThanItsReach) {
    const auto model = read_urdf(kThreeJoints);
    const std::vector<std::size_t> tools{link_named(*model, "tip"), link_named(*model, "finger")};
    Forward forward(*model, tools);
    const std::vector<double> extension(model->joints.size(), 0.3);
    std::mt19937_64 random(3);
    const auto any = [&random](double limit) {
        return limit * (2.0 * static_cast<double>(random() >> 11) * 0x1p-53 - 1.0);
    };
    std::array<Eigen::Vector3d, 2> before;
    std::array<Eigen::Vector3d, 2> after;
    for (int trial = 0; trial < 2000; ++trial) {
        std::vector<double> q;
        for (const Joint& each : model->joints)
            q.push_back(any(each.type == JointType::kPrismatic ? 0.3 : 3.0));
        forward.place(q, before);
        for (std::size_t i = 0; i < q.size(); ++i) {
            std::vector<double> moved = q;
            moved[i] += 1e-5;
            forward.place(moved, after);
            const bool turns = model->joints[i].type == JointType::kRevolute;
            for (std::size_t tool = 0; tool < 2; ++tool) {
                const double ratio = (after[tool] - before[tool]).norm() / 1e-5;
                const double lever = turns ? forward.reach_m(tool, i, extension) : 1.0;
                ASSERT_LE(ratio, forward.moves(tool, i) ? lever + 1e-6 : 0.0);
            }
        }
    }
}

}  // namespace
}  // namespace holdfast::kinematics
