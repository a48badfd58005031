//! The commands that ask a server, receive callbacks and look at what a server needs: the real program, at a real server
//! where there is one, and at a stand-in for answers that a real one seldom gives.

mod answers;
mod asking;
mod diagnosis;
mod evidence;
mod page;
mod receiving;
mod stand_in;
mod terminals;
