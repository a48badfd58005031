//! A TCP proxy between courier and Graph that holds answers back until a test lets them through.

use std::net::{SocketAddr, TcpListener as StdListener};

use courier_testkit::world::Setup;
use tokio::io;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Proxy for Graph that passes requests at once, and answers only after [`Gate::open`].
pub(crate) struct Gate {
    listener: StdListener,
    open: watch::Sender<bool>,
}

impl Gate {
    pub(crate) fn new() -> Self {
        let listener = StdListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let open = watch::Sender::new(false);
        Self { listener, open }
    }

    /// Makes the World call Graph through this proxy; token requests do not pass it.
    pub(crate) fn install(&self, setup: &mut Setup) {
        let address = self.listener.local_addr().unwrap();
        let base = format!("base_url = \"http://{address}\"");
        setup.config = setup.config.replace("base_url = \"{graph}\"", &base);
    }

    /// Starts to accept connections and to forward them to `graph`.
    pub(crate) fn connect(&self, graph: SocketAddr) {
        let std_listener = self.listener.try_clone().unwrap();
        let listener = TcpListener::from_std(std_listener).unwrap();
        let open = self.open.subscribe();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(pipe(near, graph, open.clone()));
            }
        });
    }

    /// Lets answers pass from now on, beginning with those that were held back.
    pub(crate) fn open(&self) {
        self.open.send_replace(true);
    }
}

async fn pipe(near: TcpStream, graph: SocketAddr, mut open: watch::Receiver<bool>) {
    let Ok(far) = TcpStream::connect(graph).await else {
        return;
    };
    let (mut requests, mut near) = near.into_split();
    let (mut answers, mut far) = far.into_split();
    let back = async move {
        if open.wait_for(|open| *open).await.is_ok() {
            let _ = io::copy(&mut answers, &mut near).await;
        }
    };
    let _ = tokio::join!(io::copy(&mut requests, &mut far), back);
}
